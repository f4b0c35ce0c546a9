"""The doctor: finds what keeps documents from being read."""
