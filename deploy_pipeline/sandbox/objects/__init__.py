"""The objects, and what becomes of them: writes with the rules of their kinds, deletes, storage."""
