"""Files from elsewhere: NVIDIA's network pickles, and the safetensors files made of them."""
