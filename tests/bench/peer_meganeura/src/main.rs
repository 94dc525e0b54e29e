//! One case of compare_vulkan.py by meganeura.
//!
//!     peer_meganeura OP A B C SECONDS FOLDER [f32]
//!
//! A, B, C are M, K, N of a product, rows and columns, or heads, positions and width of attention. Operands are read
//! from FOLDER/0, 1, 2 and the result is written to FOLDER/y: f32, row by row; attention's are [positions, heads width].
//! With `f32` no cooperative matrices are used, which take f16 where the device has them so.
use meganeura::runtime::{CoopPolicy, SessionOptions};
use meganeura::{Graph, Mode, SessionConfig};
use std::time::{Duration, Instant};

const LEAST: usize = 2;
const MOST: usize = 30;

fn read(folder: &str, i: usize) -> Vec<f32> {
    let bytes = std::fs::read(format!("{folder}/{i}")).expect("an operand");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (op, folder) = (a[1].as_str(), a[6].as_str());
    let d: Vec<usize> = a[2..5].iter().map(|s| s.parse().unwrap()).collect();
    let seconds: f64 = a[5].parse().unwrap();

    let mut g = Graph::new();
    let shapes = match op {
        "product" => vec![[d[0], d[1]], [d[1], d[2]]],
        "attention" => vec![[d[1], d[0] * d[2]]; 3],
        "add" => vec![[d[0], d[1]]; 2],
        _ => vec![[d[0], d[1]]],
    };
    let x: Vec<_> =
        shapes.iter().enumerate().map(|(i, s)| g.input(&format!("x{i}"), s)).collect();
    let y = match op {
        "product" => g.matmul(x[0], x[1]),
        "attention" => {
            g.full_attention(x[0], x[1], x[2], d[0] as u32, d[0] as u32, d[2] as u32)
        }
        "add" => g.add(x[0], x[1]),
        "softmax" => g.softmax(x[0]),
        "gelu" => g.gelu(x[0]),
        "rms_norm" => {
            let w = g.constant(vec![1.0; d[1]], &[d[1]]);
            g.rms_norm(x[0], w, 1e-5)
        }
        "layer_norm" => {
            let w = g.constant(vec![1.0; d[1]], &[d[1]]);
            let b = g.constant(vec![0.0; d[1]], &[d[1]]);
            g.layer_norm(x[0], w, b, 1e-5)
        }
        _ => panic!("no operator {op}"),
    };
    g.set_outputs(vec![y]);
    let coop = if a.len() > 7 { CoopPolicy::Disabled } else { CoopPolicy::Auto };
    let runtime = SessionOptions { coop, ..Default::default() };
    let config = SessionConfig { mode: Mode::Inference, tune: true, runtime, ..Default::default() };
    let mut session = meganeura::build(&g, config).0;
    for i in 0..shapes.len() {
        session.set_input(&format!("x{i}"), &read(folder, i));
    }

    session.step();
    session.wait();
    let mut ms: Vec<f64> = vec![];
    let began = Instant::now();
    while ms.len() < LEAST || (ms.len() < MOST && began.elapsed() < Duration::from_secs_f64(seconds))
    {
        let start = Instant::now();
        session.step();
        session.wait();
        ms.push(start.elapsed().as_secs_f64() * 1e3);
    }

    let n = if op == "product" { d[0] * d[2] } else { shapes[0][0] * shapes[0][1] };
    let mut out = vec![0f32; n];
    session.read_output_by_index(0, &mut out);
    let bytes: Vec<u8> = out.iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(format!("{folder}/y"), bytes).expect("the result's file");
    println!("{{\"device\": {:?}, \"times_ms\": {ms:?}}}", session.device_information().device_name);
}
