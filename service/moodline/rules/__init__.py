"""The rule language: YAML rule sets with conditions in CEL (docs/rules.md)."""
