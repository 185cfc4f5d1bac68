"""Quotas: how much users may do and have, held across all gateways by the store; what is refused says when again."""
