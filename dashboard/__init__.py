"""The dashboard: one Streamlit page over the store."""
