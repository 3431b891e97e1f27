// Depthwise convolution of ReLU6(x + shift), with a bias, and ReLU6 of that: the middle of an
// inverted residual block. See `snt_zoo/networks/kernels/__init__.py`.
//
// Images are NHWC. A task is one image and one vector of channels, whose pixels lie close together in scratch
// memory: at 112x112 pixels and 16 channels these are 0.8 MB, which the second-level cache holds.

#include "lanes.h"
#include "windows.h"

namespace {

struct Window {
  int64_t images, height, width, channels, kernel, stride, top, left, out_height, out_width;
  int64_t taps() const { return kernel * kernel; }
  // Of an input with its border: what all windows together read, and the input itself.
  int64_t padded_height() const { return std::max(top + height, (out_height - 1) * stride + kernel); }
  int64_t padded_width() const { return std::max(left + width, (out_width - 1) * stride + kernel); }
};

// A value of half the size, for images; all is computed in float.
struct BFloat16 {
  uint16_t bits;
};

template <class S>
inline typename S::Vector load(const typename S::T* from) {
  return S::load(from);
}

template <class S>
inline void store(typename S::T* to, typename S::Vector v) {
  S::store(to, v);
}

template <class S>
struct Halves {
  typedef uint16_t Short __attribute__((vector_size(S::width * 2), aligned(2), may_alias));
  typedef uint32_t Long __attribute__((vector_size(S::width * 4)));
};

template <class S>
inline typename S::Vector load(const BFloat16* from) {
  using H = Halves<S>;
  const typename H::Short halves = *reinterpret_cast<const typename H::Short*>(from);
  const typename H::Long bits = __builtin_convertvector(halves, typename H::Long) << 16;
  typename S::Vector v;
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

// Rounded to the nearest, ties to even; NaN stays NaN.
template <class S>
inline void store(BFloat16* to, typename S::Vector v) {
  using H = Halves<S>;
  typename H::Long bits;
  std::memcpy(&bits, &v, sizeof bits);
  const typename H::Long rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const typename H::Long kept = (bits & 0x7FFFFFFF) > 0x7F800000 ? (bits >> 16) | 0x40 : rounded;
  *reinterpret_cast<typename H::Short*>(to) = __builtin_convertvector(kept, typename H::Short);
}

// The first `count` values of a vector; the others are 0, and are not written. `E` is what lies in memory.
template <class S, class E>
inline typename S::Vector load_part(const E* from, int64_t count) {
  if (count >= S::width) return load<S>(from);
  E whole[S::width] = {};
  std::memcpy(whole, from, sizeof(E) * count);
  return load<S>(whole);
}

template <class S, class E>
inline void store_part(E* to, typename S::Vector v, int64_t count) {
  if (count >= S::width) return store<S>(to, v);
  E whole[S::width];
  store<S>(whole, v);
  std::memcpy(to, whole, sizeof(E) * count);
}

template <class S, class V = typename S::Vector, class T = typename S::T>
inline V bounded(V v) {
  v = v < T(0) ? V{} : v;  // NaN stays NaN
  return v > T(6) ? V{} + T(6) : v;
}

// A gradient where ReLU6 is not flat.
template <class S, class V = typename S::Vector, class T = typename S::T>
inline V where_open(V v, V grad) {
  return ((v <= T(0)) | (v >= T(6))) ? V{} : grad;
}

// Weights of one vector of channels, `(taps, vector)`; of the transposed convolution in reverse.
template <class S, class T = typename S::T>
void fill_weights(const T* weight, int64_t taps, int64_t first, int64_t count, bool reverse, T* to) {
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t i = 0; i < S::width; ++i)
      to[(reverse ? taps - 1 - t : t) * S::width + i] = i < count ? weight[(first + i) * taps + t] : T(0);
}

// ReLU6(x + shift) of one image and one vector of channels, into the middle of a border of zeros.
template <class S, class E, class T = typename S::T>
void fill_bounded(const Window& g, const E* x, const T* shift, int64_t count, T* padded) {
  const int64_t row = g.padded_width() * S::width;
  const typename S::Vector by = load_part<S>(shift, count);
  for (int64_t y = 0; y < g.height; ++y) {
    T* to = padded + (g.top + y) * row + g.left * S::width;
    for (int64_t i = 0; i < g.width; ++i)
      S::store(to + i * S::width, bounded<S>(load_part<S>(x + (y * g.width + i) * g.channels, count) + by));
  }
}

template <class S, class T = typename S::T>
void convolve(const T* in, int64_t row, int64_t kernel, int64_t oh, int64_t ow, int64_t stride, const T* weight,
              T* out) {
  if (kernel == 3)
    depthwise_image<S, 3>(in, row, S::width, oh, ow, stride, 1, weight, out, false);
  else if (kernel == 5)
    depthwise_image<S, 5>(in, row, S::width, oh, ow, stride, 1, weight, out, false);
  else
    depthwise_image<S, 7>(in, row, S::width, oh, ow, stride, 1, weight, out, false);
}

template <class S, class T = typename S::T>
void weight_gradient(const Window& g, const T* padded, int64_t row, const T* grad, int64_t grad_row, T* sums) {
  const int64_t oh = g.out_height, ow = g.out_width;
  if (g.kernel == 3)
    depthwise_weight_image<S, 3, 3>(padded, row, S::width, oh, ow, g.stride, 1, grad, grad_row, sums);
  else if (g.kernel == 5)
    depthwise_weight_image<S, 5, kManyRegisters ? 5 : 1>(padded, row, S::width, oh, ow, g.stride, 1, grad,
                                                         grad_row, sums);
  else
    depthwise_weight_image<S, 7, 1>(padded, row, S::width, oh, ow, g.stride, 1, grad, grad_row, sums);
}

// `out` is filled.
template <class S, class E, class T = typename S::T>
void depthwise_forward(const Window& g, const E* x, const T* shift, const T* weight, const T* bias,
                       E* out) {
  const int64_t vectors = (g.channels + S::width - 1) / S::width, tasks = g.images * vectors;
  const int64_t padded_size = g.padded_height() * g.padded_width() * S::width;
  const int64_t pixels = g.out_height * g.out_width;
  const int threads = threads_for(tasks);
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(padded_size + (pixels + g.taps()) * S::width, 3);
    T* padded = scratch.take_zeros(padded_size);
    T* convolved = scratch.take(pixels * S::width);
    T* taps = scratch.take(g.taps() * S::width);
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; ++task) {
      const int64_t n = task / vectors, k = task % vectors * S::width, count = g.channels - k;
      fill_weights<S>(weight, g.taps(), k, count, false, taps);
      fill_bounded<S>(g, x + n * g.height * g.width * g.channels + k, shift + k, count, padded);
      convolve<S>(padded, g.padded_width() * S::width, g.kernel, g.out_height, g.out_width, g.stride, taps,
                  convolved);
      const typename S::Vector by = load_part<S>(bias + k, count);
      E* to = out + n * pixels * g.channels + k;
      for (int64_t p = 0; p < pixels; ++p) {
        const typename S::Vector v = S::load(convolved + p * S::width) + by;
        store_part<S>(to + p * g.channels, bounded<S>(v), count);
      }
    }
  }
}

// Gradient of the input of one image and one vector of channels, for a stride of 2: each pixel lies in every
// second window of its row and column. `grad` is the output's, with `kernel / 2` zeros on all sides.
template <class S, class T = typename S::T>
void transposed_by_two(const Window& g, const T* grad, int64_t grad_row, const T* weight, T* out) {
  for (int64_t y = 0; y < g.height; ++y)
    for (int64_t x = 0; x < g.width; ++x) {
      typename S::Vector sum = {};
      for (int64_t ky = (y + g.top) % 2; ky < g.kernel; ky += 2)
        for (int64_t kx = (x + g.left) % 2; kx < g.kernel; kx += 2) {
          const int64_t row = (y + g.top - ky) / 2, column = (x + g.left - kx) / 2;  // both are even
          sum += S::load(grad + row * grad_row + column * S::width) * S::load(weight + (ky * g.kernel + kx) * S::width);
        }
      S::store(out + (y * g.width + x) * S::width, sum);
    }
}

// Gradients of `depthwise_forward`. `out` is what that gave.
template <class S, class E, class T = typename S::T>
void depthwise_backward(const Window& g, const E* x, const T* shift, const T* weight, const E* out, const E* grad,
                        E* grad_x, double* grad_shift, double* grad_weight, double* grad_bias) {
  const int64_t vectors = (g.channels + S::width - 1) / S::width, tasks = g.images * vectors;
  const int64_t row = g.padded_width() * S::width, padded_size = g.padded_height() * row;
  // The output's gradient, in a border: with it the input's is a convolution at a stride of 1.
  const bool plain = g.stride == 1;
  const int64_t above = plain ? g.kernel - 1 - g.top : g.kernel / 2, before = plain ? g.kernel - 1 - g.left : g.kernel / 2;
  const int64_t grad_row = (g.out_width + 2 * g.kernel) * S::width;
  const int64_t grad_size = (g.out_height + 2 * g.kernel) * grad_row, back_size = g.height * g.width * S::width;
  const int threads = threads_for(tasks);
  Totals totals(threads, g.channels * (g.taps() + 2));
#pragma omp parallel num_threads(threads)
  {
    Scratch<T> scratch(padded_size + grad_size + back_size + 2 * g.taps() * S::width, 5);
    T* padded = scratch.take_zeros(padded_size);
    T* bordered = scratch.take_zeros(grad_size);
    T* back = scratch.take(back_size);
    T* taps = scratch.take(g.taps() * S::width);
    T* sums = scratch.take(g.taps() * S::width);
    T* gradient = bordered + above * grad_row + before * S::width;
    double* total = totals.of(this_thread());
#pragma omp for schedule(static)
    for (int64_t task = 0; task < tasks; ++task) {
      const int64_t n = task / vectors, k = task % vectors * S::width, count = g.channels - k;
      const int64_t in = n * g.height * g.width * g.channels + k;
      const int64_t at = n * g.out_height * g.out_width * g.channels + k;
      fill_weights<S>(weight, g.taps(), k, count, plain, taps);
      fill_bounded<S>(g, x + in, shift + k, count, padded);
      typename S::Vector sum = {};
      for (int64_t y = 0; y < g.out_height; ++y)
        for (int64_t i = 0; i < g.out_width; ++i) {
          const int64_t pixel = at + (y * g.out_width + i) * g.channels;
          const typename S::Vector d = where_open<S>(load_part<S>(out + pixel, count), load_part<S>(grad + pixel, count));
          sum += d;
          S::store(gradient + y * grad_row + i * S::width, d);
        }
      std::memset(sums, 0, sizeof(T) * g.taps() * S::width);
      weight_gradient<S>(g, padded, row, gradient, grad_row, sums);
      if (plain)
        convolve<S>(bordered, grad_row, g.kernel, g.height, g.width, 1, taps, back);
      else
        transposed_by_two<S>(g, gradient, grad_row, taps, back);
      typename S::Vector sum_x = {};
      for (int64_t y = 0; y < g.height; ++y)
        for (int64_t i = 0; i < g.width; ++i) {
          const int64_t pixel = y * g.width + i;
          const typename S::Vector v = S::load(padded + (g.top + y) * row + (g.left + i) * S::width);
          const typename S::Vector d = where_open<S>(v, S::load(back + pixel * S::width));
          sum_x += d;
          store_part<S>(grad_x + in + pixel * g.channels, d, count);
        }
      for (int64_t i = 0; i < std::min(count, S::width); ++i) {
        double* of_channel = total + (k + i) * (g.taps() + 2);
        for (int64_t t = 0; t < g.taps(); ++t) of_channel[t] += sums[t * S::width + i];
        of_channel[g.taps()] += sum[i];
        of_channel[g.taps() + 1] += sum_x[i];
      }
    }
  }
  for (int64_t c = 0; c < g.channels; ++c) {
    const int64_t first = c * (g.taps() + 2);
    totals.write(first, g.taps(), grad_weight + c * g.taps());
    grad_bias[c] = totals.at(first + g.taps());
    grad_shift[c] = totals.at(first + g.taps() + 1);
  }
}

}  // namespace

#define EXPORT(E, T, SUFFIX)                                                                                  \
  void depthwise_forward_##SUFFIX(const Window* g, const E* x, const T* shift, const T* weight, const T* bias, \
                                  E* out) {                                                   \
    depthwise_forward<Simd<T, kVectorBytes>>(*g, x, shift, weight, bias, out);                        \
  }                                                                                                           \
  void depthwise_backward_##SUFFIX(const Window* g, const E* x, const T* shift, const T* weight, const E* out, \
                                   const E* grad, E* grad_x, double* grad_shift, double* grad_weight,         \
                                   double* grad_bias) {                                                       \
    depthwise_backward<Simd<T, kVectorBytes>>(*g, x, shift, weight, out, grad, grad_x, grad_shift,            \
                                              grad_weight, grad_bias);                                        \
  }

extern "C" {
EXPORT(float, float, f32)
EXPORT(double, double, f64)
EXPORT(BFloat16, float, bf16)
}
