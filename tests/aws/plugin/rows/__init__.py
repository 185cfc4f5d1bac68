"""Rows by AWS's services."""
