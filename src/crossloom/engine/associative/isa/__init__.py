"""The instruction set of an associative processor: instructions, their truth tables, and what each costs."""
