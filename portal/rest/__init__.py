"""What every API view shares: requests, answers, errors, bodies, routes."""
