"""What each policy does, in a sentence, with its source: for who reads a report without having read the papers."""

POLICIES = {
    "trimtab": "Plans all jobs or services together by least cost and carbon, with the planner of the operator.",
    "trimtab-priced": "As trimtab, with the time of a unit and its carbon weighed against what delay is worth.",
    "optimum": "The limit: knows all arrivals and intensities beforehand. Nobody can run it; all are measured by it.",
    "run-at-once": "Starts each job as soon as it arrives and never stops it.",
    "suspend-resume": (
        "Runs in the cleanest hours before the latest end, with pauses, knowing how long the job takes "
        "(Wiesner et al., Let's Wait Awhile, Middleware 2021)."
    ),
    "lowest-slot": "Waits for the cleanest hour to start in (Hanafy et al., GAIA, ASPLOS 2024).",
    "lowest-window": "Waits for the cleanest stretch as long as jobs take on average (GAIA, ASPLOS 2024).",
    "carbon-time": "Waits for the start that saves the most carbon for the time it takes (GAIA, ASPLOS 2024).",
    "ecovisor": (
        "Pauses while the grid is dirtier than a threshold, until the wait is used up "
        "(Souza et al., Ecovisor, ASPLOS 2023)."
    ),
    "carbonscaler": (
        "Runs wider in clean hours by the most work for the carbon (Hanafy et al., CarbonScaler, SIGMETRICS 2024)."
    ),
    "static-oracle": "The best fixed width for each job and the best hours for it, chosen with hindsight.",
    "tiresias": "Jobs that had the least service so far go first, with fixed width (Gu et al., NSDI 2019).",
    "optimus": "Gives units to the job whose remaining time shrinks most (Peng et al., EuroSys 2018).",
    "pollux": "Chooses width and batch size together by useful progress (Qiao et al., OSDI 2021).",
    "hpa-cpu": "Kubernetes' Horizontal Pod Autoscaler on the use of the processor.",
    "hpa-concurrency": "Kubernetes' Horizontal Pod Autoscaler on requests in flight.",
    "keda-rate": "Replicas in proportion to the rate of requests, as KEDA does.",
    "fixed-peak": "One variant with enough replicas for the peak, which it knows, all the time.",
    "infaas": "The cheapest variant that meets the targets (Romero et al., INFaaS, ATC 2021).",
    "clover": "Mixes variants by accuracy lost for carbon saved (Li et al., Clover, SC 2023).",
    "wva": "Sizes variants by a queueing model, as llm-d's Workload Variant Autoscaler does.",
}

HINDSIGHT = frozenset({"optimum", "static-oracle"})
"""Policies that know the true course of what others have to forecast: limits, no rivals."""

FIGURES = {
    "Saved": "Share of the reference's total that the policy does without, with its 95 % interval.",
    "Carbon": "From energy and the grid's intensity at that time, and embodied carbon where it is given.",
    "Cost": "Price of what was held, in US dollars.",
    "Energy": "Electricity that was used.",
    "Wait": "Mean time from arrival to end, less what the job takes when it runs at once alone.",
    "Completion": "Mean time from arrival to end.",
    "Misses": "Jobs that ended after their deadline or longest wait.",
    "In target": "Share of requests within the latency target.",
    "Accuracy": "Mean accuracy of the variants that answered, weighted by requests.",
    "Held": "Replicas or units, times the hours they were held.",
    "Switches": "Resumptions and changes of width, variant or hardware.",
    "Plan": "Time to plan once: median and 99th percentile.",
    "Optimum": "What the run minimizes over the least that hindsight could reach; 1 is the limit.",
}
