"""Makes `python -m moodline` the same as `moodline`."""

from moodline.cli import main

if __name__ == "__main__":
    main()
