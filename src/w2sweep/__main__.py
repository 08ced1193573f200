"""`python -m w2sweep` is `w2sweep`."""

from w2sweep.interface.command import main

if __name__ == "__main__":
    main()
