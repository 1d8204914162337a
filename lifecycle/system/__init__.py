"""What is asked of the operating system, once for all rooms: signals."""
