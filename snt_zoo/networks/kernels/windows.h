// Depthwise convolution of an image that lies in scratch memory in a border, and the gradient of its weights.

#pragma once

#include "lanes.h"

namespace {

// `Tile` neighbouring pixels of a depthwise convolution, one vector of channels.
template <class S, int K, int Tile, class T = typename S::T>
inline void depthwise_tile(const T* in, int64_t row, int64_t tap, int64_t step, const T* weight, int64_t cp,
                           T* out, bool add) {
  typename S::Vector sum[Tile] = {};
  if (add)
    for (int t = 0; t < Tile; ++t) sum[t] = S::load(out + t * cp);
  for (int ky = 0; ky < K; ++ky) {
    for (int kx = 0; kx < K; ++kx) {
      const typename S::Vector w = S::load(weight + (ky * K + kx) * cp);
      const T* at = in + ky * row + kx * tap;
      asm("" : "+r"(at));  // or GCC keeps hundreds of addresses on the stack
      for (int t = 0; t < Tile; ++t) sum[t] += S::load(at + t * step) * w;
    }
  }
  for (int t = 0; t < Tile; ++t) S::store(out + t * cp, sum[t]);
}

// Depthwise convolution of an image whose first window begins at `in`: `(oh, ow, cp)`, written or added.
template <class S, int K, class T = typename S::T>
void depthwise_image(const T* in, int64_t in_row, int64_t cp, int64_t oh, int64_t ow, int64_t stride,
                     int64_t dilation, const T* weight, T* out, bool add) {
  const int64_t row = dilation * in_row, tap = dilation * cp, step = stride * cp;
  for (int64_t y = 0; y < oh; ++y) {
    for (int64_t k = 0; k < cp; k += S::width) {
      const T* from = in + y * stride * in_row + k;
      const T* w = weight + k;
      T* to = out + y * ow * cp + k;
      int64_t x = 0;
      for (; x + 8 <= ow; x += 8)
        depthwise_tile<S, K, 8>(from + x * step, row, tap, step, w, cp, to + x * cp, add);
      for (; x + 4 <= ow; x += 4)
        depthwise_tile<S, K, 4>(from + x * step, row, tap, step, w, cp, to + x * cp, add);
      for (; x < ow; ++x) depthwise_tile<S, K, 1>(from + x * step, row, tap, step, w, cp, to + x * cp, add);
    }
  }
}

// Gradient of the taps' weights, `(taps, cp)` added to, of one image; `Rows` rows of taps in one pass.
template <class S, int K, int Rows, class T = typename S::T>
void depthwise_weight_image(const T* in, int64_t in_row, int64_t cp, int64_t oh, int64_t ow, int64_t stride,
                            int64_t dilation, const T* grad, int64_t grad_row, T* out) {
  static_assert(K % Rows == 0, "passes have the same number of rows");
  for (int64_t k = 0; k < cp; k += S::width) {
    for (int first = 0; first < K; first += Rows) {
      typename S::Vector sum[Rows * K] = {};
      for (int64_t y = 0; y < oh; ++y) {
        const T* from = in + (y * stride + first * dilation) * in_row + k;
        const T* g = grad + y * grad_row + k;
        for (int64_t x = 0; x < ow; ++x, from += stride * cp, g += cp) {
          const typename S::Vector d = S::load(g);
#pragma GCC unroll 25
          for (int i = 0; i < Rows * K; ++i)
            sum[i] += d * S::load(from + (i / K) * dilation * in_row + (i % K) * dilation * cp);
        }
      }
      for (int i = 0; i < Rows * K; ++i) {
        T* to = out + (first * K + i) * cp + k;
        S::store(to, S::load(to) + sum[i]);
      }
    }
  }
}

}  // namespace
