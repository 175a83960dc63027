"""The subcommands, one file for each group. Heavy imports wait inside the functions, so that --help is quick."""
