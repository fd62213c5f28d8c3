"""`python -m mfa_audit` is the `mfa-audit` command."""

from mfa_audit.commands import main

if __name__ == "__main__":
    main()
