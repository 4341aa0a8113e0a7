"""Holds by the thousand, decided while the firewall is killed and clicks come twice."""
