"""Training jobs of fixed or scalable size on one cluster and one grid: policies, the planner, and the optimum."""
