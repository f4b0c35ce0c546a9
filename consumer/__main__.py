"""`python -m consumer` and the command `bucket-ocr`."""

from consumer.cli import main

if __name__ == "__main__":
    main()
