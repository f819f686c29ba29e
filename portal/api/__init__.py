"""The OpenAI API beside chat: files, models, health."""
