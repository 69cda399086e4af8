"""The cases of a training: what is cached of them, what each step draws of them, and what regions weigh."""
