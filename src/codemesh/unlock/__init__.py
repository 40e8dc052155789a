"""How a sealed store is opened: passphrases, and where an unlocked key rests."""
