"""The front door: the ``igllm`` command, one thin subcommand a verb."""
