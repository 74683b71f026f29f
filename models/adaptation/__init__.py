"""Adapting a champion to one site from its pictures; needs no torch."""
