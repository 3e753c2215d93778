"""Generated from protos/third_party by scripts/generate_protos.sh; never edited."""
