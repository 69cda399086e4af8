"""The sections of the panel and the parameters behind them."""
