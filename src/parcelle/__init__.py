"""Parcelle turns an application that runs in containers into a SaaS."""
