"""What tests share: oracles, named instances, ways to run the command line and a browser."""
