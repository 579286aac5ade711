"""The policies that divide the cluster between elastic jobs: the published ones from their papers, and our own."""
