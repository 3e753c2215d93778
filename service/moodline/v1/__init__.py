"""Generated from protos/moodline/v1 by scripts/generate_protos.sh; never edited."""
