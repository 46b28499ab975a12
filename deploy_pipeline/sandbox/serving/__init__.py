"""What clients talk to: HTTP, paths, discovery, lists and watches."""
