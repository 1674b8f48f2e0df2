"""What others would take for the same question: a script for each, which counts recipients by certificate and event type.

Each gets a file of SendGrid events, and prints the number of rows and the sum of their counts, which are the same for all.
They do a part of a night's work: no record is checked, kept, hashed or compared with other nights.
"""
