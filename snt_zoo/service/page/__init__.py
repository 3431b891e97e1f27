"""The page of the service: what a browser is shown of a zoo.

Rendered here, by templates that escape what they are given; it loads nothing from elsewhere, works without
scripts, and has no inline ones. Its modules: `plane`, `zoo_map` and `links` compute what is drawn; `classes`,
`listing`, `entry`, `answer` and `runs` what is said; `uploads` takes images in for a query; `router` answers.
"""

from snt_zoo.service.page.router import routes

__all__ = ["routes"]
