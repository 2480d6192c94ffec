"""How to speak to a batch system; nothing is started here."""
