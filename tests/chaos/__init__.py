"""Faults on purpose: runs under a seeded schedule of them, and a judge who compares every history afterwards."""
