"""Budgets over simulated months: published traces of jobs, requests and carbon under the operator's own enforcement."""
