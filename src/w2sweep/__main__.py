"""`python -m w2sweep` is `w2sweep`."""

from w2sweep.cli import main

if __name__ == "__main__":
    main()
