"""The commands. Each says in its docstring what ``--help`` shows."""
