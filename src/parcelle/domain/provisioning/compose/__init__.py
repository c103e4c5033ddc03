"""Compose stacks: what a vendor's file may say, one instance's complete file, and the program that runs it."""
