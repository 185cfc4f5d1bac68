"""Settings checked against each other before anything is declared: each rule with its reason, for both targets."""
