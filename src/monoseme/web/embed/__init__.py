"""The components of the web app without its server: in a notebook's cell, or as an HTML file that holds all it needs.

from monoseme.web.embed import latent_page

latent_page("runs/demo", "topk", 7)                        # in a notebook: shows the page
latent_page("runs/demo", "topk", 7).write("latent7.html")  # a file to send
"""

from monoseme.web.embed._embedded import Embedded
from monoseme.web.embed._pieces import latent_page, metric_table, token_strip

__all__ = ["Embedded", "latent_page", "metric_table", "token_strip"]
