"""How the schema came to be, step by step; docs/store.md, "Upgrades", says how to add one."""
