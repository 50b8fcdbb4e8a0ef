"""Graphics code: the statements that a domain declares, their grammar, and files of predicted code."""
