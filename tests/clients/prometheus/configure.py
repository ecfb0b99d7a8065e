"""Prints a configuration of Prometheus that discovers targets at the URL it is given."""

import sys

print(f"""\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: marathon
    marathon_sd_configs:
      - servers: ["{sys.argv[1]}"]
        refresh_interval: 1s
""")
