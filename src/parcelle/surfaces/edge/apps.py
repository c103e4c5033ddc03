from django.apps import AppConfig


class EdgeConfig(AppConfig):
    name = "parcelle.surfaces.edge"
    label = "edge"
