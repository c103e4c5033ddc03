from django.apps import AppConfig


class JourneysConfig(AppConfig):
    name = "parcelle.journeys"
    label = "journeys"

    def ready(self) -> None:
        from parcelle.journeys import reactions, schedule

        reactions.register()
        schedule.register()
