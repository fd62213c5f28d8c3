"""Everything of this machine that outlives a process: the authority, trust, variables, browsers, folders, keys."""
