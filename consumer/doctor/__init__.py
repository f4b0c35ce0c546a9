"""The doctor: finds the reasons why documents are not read."""
