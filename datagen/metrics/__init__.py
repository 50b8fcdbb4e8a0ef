"""How close a predicted scene is to the true one."""
