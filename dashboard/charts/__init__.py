"""The charts: values → figures or HTML. Pure: no Streamlit, no store."""
