import { init, attentionPooling, additive, Tensor, createEngine } from "saccade";
const r=(n,g=1)=>Float32Array.from({length:n},()=>(Math.random()*2-1)*g);
for (const build of ["strict"]) { let engine; try { engine = await createEngine({build}); } catch(e) { console.log(String(e)); continue }
const [Q,K,H,D]=process.argv.slice(2).map(Number);
const q=Tensor.from({data:r(Q*H),shape:[Q,H]},{engine}), k=Tensor.from({data:r(K*H),shape:[K,H]},{engine}), v=Tensor.from({data:r(K*D),shape:[K,D]},{engine});
const out=Tensor.zeros([Q,D],"float32",{engine});
const score=additive({v:{data:r(H),shape:[H]}});
const f=()=>attentionPooling(q,k,v,{score,out,engine});
for(let i=0;i<20;i++)f();
const t=[];for(let i=0;i<60;i++){const a=performance.now();f();t.push(performance.now()-a)}t.sort((a,b)=>a-b);
console.log(build,"median",t[30].toFixed(2),"min",t[0].toFixed(2)); }
