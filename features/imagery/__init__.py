"""An acquisition and a grid turned into blocks of pixels."""
